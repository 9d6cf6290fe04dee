// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// @title MLProvenance: a place that witnesses digests
/// @notice `anchor` leaves an event and nothing else; `storeHash` also keeps time, sender and a text.
/// The names and types of the earlier system's functions are kept, so what called it calls this. One
/// thing is mended: the first writer of a hash is kept. A second call changes nothing and is refused.
contract MLProvenance {
    /// @notice Whether a hash is stored.
    mapping(bytes32 => bool) public storedHashes;
    /// @notice The time of the block that stored a hash, in seconds since 1970; 0 when it is not.
    mapping(bytes32 => uint256) public timestamps;
    /// @notice What was stored beside a hash.
    mapping(bytes32 => string) public metadata;
    /// @notice Who stored a hash first.
    mapping(bytes32 => address) public senders;

    event HashStored(bytes32 indexed hash, uint256 timestamp, string metadata);
    event Anchored(bytes32 indexed digest, address indexed sender);

    /// @notice The hash is stored already: neither its time nor its sender can be moved.
    error AlreadyStored(bytes32 hash, uint256 timestamp, address sender);

    /// @notice Leaves an event: the cheapest way to witness a digest.
    function anchor(bytes32 digest) external {
        emit Anchored(digest, msg.sender);
    }

    /// @notice Stores a hash with a text; refused when it is stored already.
    function storeHash(bytes32 hash, string calldata text) external {
        if (storedHashes[hash]) revert AlreadyStored(hash, timestamps[hash], senders[hash]);
        _store(hash, text);
    }

    /// @notice Stores hashes without a text; those that are stored already stay as they are.
    function storeHashes(bytes32[] calldata hashes) external {
        for (uint256 i = 0; i < hashes.length; i++) {
            if (!storedHashes[hashes[i]]) _store(hashes[i], "");
        }
    }

    /// @notice Whether a hash is stored.
    function verifyHash(bytes32 hash) external view returns (bool) {
        return storedHashes[hash];
    }

    /// @notice Whether a hash is stored, since when, and with which text.
    function getHashInfo(bytes32 hash)
        external
        view
        returns (bool exists, uint256 timestamp, string memory text)
    {
        return (storedHashes[hash], timestamps[hash], metadata[hash]);
    }

    /// @notice Whether a leaf is entry `index` of the log with this root and size (RFC 9162 section
    /// 2.1.3.2, SHA-256), so that contracts can build on it.
    /// @param leaf the entry itself, for gitprov the 32 bytes of a record root.
    /// @param path the inclusion proof, the node nearest to the leaf first.
    function verifyInclusion(
        bytes32 root,
        uint64 size,
        uint64 index,
        bytes calldata leaf,
        bytes32[] calldata path
    ) external pure returns (bool) {
        if (index >= size) return false;
        uint64 fn = index;
        uint64 sn = size - 1;
        bytes32 r = sha256(abi.encodePacked(bytes1(0x00), leaf));
        for (uint256 i = 0; i < path.length; i++) {
            if (sn == 0) return false;
            if (fn & 1 == 1 || fn == sn) {
                r = sha256(abi.encodePacked(bytes1(0x01), path[i], r));
                while (fn & 1 == 0 && fn != 0) {
                    fn >>= 1;
                    sn >>= 1;
                }
            } else {
                r = sha256(abi.encodePacked(bytes1(0x01), r, path[i]));
            }
            fn >>= 1;
            sn >>= 1;
        }
        return sn == 0 && r == root;
    }

    function _store(bytes32 hash, string memory text) private {
        storedHashes[hash] = true;
        timestamps[hash] = block.timestamp;
        senders[hash] = msg.sender;
        if (bytes(text).length != 0) metadata[hash] = text;
        emit HashStored(hash, block.timestamp, text);
    }
}
