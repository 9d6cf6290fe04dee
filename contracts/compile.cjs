// Compiles MLProvenance.sol with the solc that `make services` installs, and prints what ships:
//   node contracts/compile.cjs FOLDER-OF-NODE-MODULES > contracts/MLProvenance.json
// No hash of the metadata goes into the bytecode, so the same compiler gives the same bytes everywhere.
const fs = require("fs");
const path = require("path");

const solc = require(path.join(path.resolve(process.argv[2]), "solc"));
const source = fs.readFileSync(path.join(__dirname, "MLProvenance.sol"), "utf8");
const input = {
  language: "Solidity",
  sources: { "MLProvenance.sol": { content: source } },
  settings: {
    evmVersion: "paris",
    metadata: { bytecodeHash: "none", appendCBOR: false },
    optimizer: { enabled: true, runs: 10000 },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
for (const problem of output.errors || []) {
  process.stderr.write(problem.formattedMessage + "\n");
  if (problem.severity === "error") process.exit(1);
}
const contract = output.contracts["MLProvenance.sol"].MLProvenance;
const shipped = {
  abi: contract.abi,
  bytecode: "0x" + contract.evm.bytecode.object,
  deployedBytecode: "0x" + contract.evm.deployedBytecode.object,
  compiler: "solc " + solc.version(),
};
process.stdout.write(JSON.stringify(shipped, null, 1) + "\n");
