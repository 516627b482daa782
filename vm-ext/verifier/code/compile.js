// node compile.js SOURCE OUT: writes the code that a deployed Halo2VerifierReusable has.
const fs = require('fs');
const solc = require('solc');

const [source, out] = process.argv.slice(2);
const input = {
  language: 'Solidity',
  sources: { 'verifier.sol': { content: fs.readFileSync(source, 'utf8') } },
  settings: {
    optimizer: { enabled: true, runs: 0 },
    evmVersion: 'shanghai',
    metadata: { bytecodeHash: 'none' },
    outputSelection: { '*': { '*': ['evm.deployedBytecode.object'] } },
  },
};
const result = JSON.parse(solc.compile(JSON.stringify(input)));
const errors = (result.errors || []).filter((error) => error.severity === 'error');
if (errors.length > 0) {
  errors.forEach((error) => console.error(error.formattedMessage));
  process.exit(1);
}
const contract = result.contracts['verifier.sol'].Halo2VerifierReusable;
fs.writeFileSync(out, Buffer.from(contract.evm.deployedBytecode.object, 'hex'));
