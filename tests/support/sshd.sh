#!/bin/sh
# sshd.sh FOLDER PORT ROOT: an sshd with throw-away keys, in the foreground, until it is killed.
# Nothing is installed and no account is made: as root it runs in a mount namespace with a passwd
# and a /run of its own. ROOT is "" for the system's sshd, or where Debian's packages were unpacked.
set -eu

folder=$1 port=$2 root=$3
libraries="$root/lib/x86_64-linux-gnu:$root/usr/lib/x86_64-linux-gnu:$root/lib/aarch64-linux-gnu:$root/usr/lib/aarch64-linux-gnu"

for name in host key other; do
    [ -f "$folder/$name" ] || ssh-keygen -q -t ed25519 -N '' -C gitprov-test -f "$folder/$name"
done
cp "$folder/key.pub" "$folder/authorized"
cat >"$folder/config" <<END
ListenAddress 127.0.0.1
Port $port
HostKey $folder/host
PidFile none
AuthorizedKeysFile $folder/authorized
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
PermitRootLogin prohibit-password
PrintMotd no
MaxStartups 100
Subsystem sftp internal-sftp
END

if [ "$(id -u)" = 0 ]; then
    {
        sed 's/^\(root\|nobody\):[^:]*:/\1:NP:/' /etc/passwd | grep -v '^sshd:'
        echo 'sshd:NP:64999:65534::/run/sshd:/usr/sbin/nologin'
    } >"$folder/passwd"
    sed 's/^\(root\|nobody\):[^:]*:/\1:NP:/' /etc/shadow | grep -v '^sshd:' | sed '/^[^:]*:\$/d' >"$folder/shadow"
    chmod 600 "$folder/shadow"
    exec unshare -m --propagation private sh -c '
        mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/shadow" /etc/shadow &&
            mount -t tmpfs none /run && mkdir -m 755 /run/sshd &&
            exec env LD_LIBRARY_PATH="$2" "$3/usr/sbin/sshd" -D -e -f "$1/config"' \
        sh "$folder" "$libraries" "$root"
fi
exec env LD_LIBRARY_PATH="$libraries" "$root/usr/sbin/sshd" -D -e -f "$folder/config"
