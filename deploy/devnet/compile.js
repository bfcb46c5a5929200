// Compiles the contracts it is told to with solc-js, one compiler input a source file.
//
// stdin:  {"root": DIR, "modules": DIR, "settings": {...}, "jobs": [{"source": FILE, "key": KEY}]}
// stdout: one JSON line a job: {"source", "key", "contracts": [...]} or {"source", "errors": [...]}
//
// One input a file, because solc-js overflows its stack on big inputs and because a file that does
// not compile must not keep its neighbours from compiling. It knows no cache and writes no file:
// artifacts.py decides what is stale and where a result goes.
"use strict";

const fs = require("fs");
const path = require("path");
const solc = require("solc");

function reader(root, modules) {
  return (name) => {
    for (const directory of [root, modules]) {
      const file = path.join(directory, name);
      if (fs.existsSync(file)) return { contents: fs.readFileSync(file, "utf8") };
    }
    return { error: `${name} is neither under ${root} nor under ${modules}` };
  };
}

function standardInput(root, source, settings) {
  const content = fs.readFileSync(path.join(root, source), "utf8");
  const wanted = ["abi", "evm.bytecode.object", "evm.bytecode.linkReferences",
    "evm.deployedBytecode.object", "evm.methodIdentifiers"];
  return {
    language: "Solidity",
    sources: { [source]: { content } },
    settings: { ...settings, outputSelection: { [source]: { "*": wanted } } },
  };
}

function compileOne(request, job) {
  const input = standardInput(request.root, job.source, request.settings);
  const callbacks = { import: reader(request.root, request.modules) };
  const output = JSON.parse(solc.compile(JSON.stringify(input), callbacks));
  const errors = (output.errors || []).filter((each) => each.severity === "error");
  if (errors.length > 0) {
    return { source: job.source, errors: errors.map((each) => each.formattedMessage) };
  }
  const contracts = [];
  for (const [name, contract] of Object.entries(output.contracts[job.source] || {})) {
    if (contract.evm.bytecode.object === "") continue; // an interface or an abstract contract
    contracts.push({
      name,
      abi: contract.abi,
      bytecode: contract.evm.bytecode.object,
      deployedBytecode: contract.evm.deployedBytecode.object,
      linkReferences: contract.evm.bytecode.linkReferences,
      selectors: contract.evm.methodIdentifiers,
    });
  }
  return { source: job.source, key: job.key, contracts };
}

const request = JSON.parse(fs.readFileSync(0, "utf8"));
for (const job of request.jobs) {
  fs.writeSync(1, JSON.stringify(compileOne(request, job)) + "\n");
}
