// Pays one coin on a devnet and waits until the payment is final, knowing the .proto files, the
// specification and the vectors alone. Prints one JSON line.
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { parseArgs } from "node:util";
import { bytesToHex, hexToBytes, randomBytes } from "@noble/hashes/utils.js";
import { Service, encode } from "./proto.js";
import { checkVectors } from "./vectors.js";
import { addressOf, addressText, hash, keyLock, sign } from "./wallet.js";

interface Runtime {
  network_id: string;
  nodes: { api: string }[];
  faucet_key: string;
}

interface Network {
  network_id: Buffer;
  address_prefix: string;
  genesis: Buffer;
}

interface Unspent {
  outpoint: { transaction: Buffer; index: number };
  output: { product: Buffer; amount: string; kind: string; not_before_ms: string; min_age_ms: string; counterparty: Buffer };
}

interface Submitted {
  status: { transaction_id: Buffer; state: string; accepted_weight: string; final_ms: string };
  proof: Buffer;
}

const coin = 1_000_000_000n;

/** Where the devnet says how it is reached. */
function runtimePath(): string {
  const { values } = parseArgs({ options: { runtime: { type: "string" } } });
  const state = process.env["XDG_STATE_HOME"] ?? homedir() + "/.local/state";
  return values.runtime ?? process.env["NOTARY_RUNTIME"] ?? state + "/notary/devnet.json";
}

/** Asks the node for its network and believes it only where the genesis document hashes to the id. */
async function meet(service: Service, runtime: Runtime): Promise<Network> {
  const network = await service.call<Network>("GetNetwork", {}, 10);
  const id = bytesToHex(hash("notary/genesis/v1", network.genesis));
  if (id !== runtime.network_id || id !== network.network_id.toString("hex")) {
    throw new Error(`the node belongs to network ${network.network_id.toString("hex")}, its genesis document to ${id}`);
  }
  return network;
}

/** How many pages are looked through: a node may make a list that never ends. */
const maxPages = 100;

/** The first output of an address that its owner can spend now and that holds more than a coin. */
async function findCoin(service: Service, address: string): Promise<Unspent> {
  let pageToken = "";
  for (let pages = 0; pages < maxPages; pages++) {
    const page = await service.call<{ outputs: Unspent[]; next_page_token: string }>(
      "ListUnspent", { address, page_size: 1000, page_token: pageToken }, 10);
    const found = page.outputs.find(({ output: o }) =>
      o.kind === "OUTPUT_KIND_PAYMENT" && o.product.length === 0 && o.counterparty.length === 0 &&
      o.not_before_ms === "0" && o.min_age_ms === "0" && BigInt(o.amount) > coin);
    if (found) return found;
    pageToken = page.next_page_token;
    if (pageToken === "") throw new Error(`${address} has no output of more than a coin`);
    if (page.outputs.length === 0) throw new Error("the node's list goes on with nothing in it");
  }
  throw new Error(`no output of more than a coin is among the first ${maxPages} pages of ${address}`);
}

async function main(): Promise<void> {
  const vectors = checkVectors();
  const runtime = JSON.parse(readFileSync(runtimePath(), "utf8")) as Runtime;
  const service = new Service(runtime.nodes[0]!.api);
  try {
    const network = await meet(service, runtime);
    const seed = hexToBytes(readFileSync(runtime.faucet_key, "utf8").trim());
    const own = addressOf(keyLock(seed));
    const to = addressOf(keyLock(randomBytes(32)));
    const spent = await findCoin(service, addressText(network.address_prefix, own));

    const { transaction, index } = spent.outpoint;
    const body = encode("TransactionBody", {
      network: network.network_id,
      inputs: [{ kind: "INPUT_KIND_SPEND", outpoint: index === 0 ? { transaction } : { transaction, index } }],
      outputs: [
        { address: to, amount: coin.toString(), kind: "OUTPUT_KIND_PAYMENT" },
        { address: own, amount: (BigInt(spent.output.amount) - coin).toString(), kind: "OUTPUT_KIND_PAYMENT" },
      ],
      memo: Buffer.from("from TypeScript"),
    });
    const signed = sign(network.network_id, body, [{ lock: keyLock(seed), seeds: [seed] }]);

    const started = performance.now();
    const answer = await service.call<Submitted>(
      "SubmitTransaction", { transaction: signed.bytes, wait_for: "WAIT_LEVEL_FINAL", with_proof: true }, 30);
    const elapsed = performance.now() - started;
    const id = bytesToHex(signed.id);
    if (answer.status.state !== "TRANSACTION_STATE_FINAL" || answer.status.transaction_id.toString("hex") !== id) {
      throw new Error(`unexpected answer: ${answer.status.state} for ${answer.status.transaction_id.toString("hex")}`);
    }
    if (answer.proof.length === 0) throw new Error("there is no proof in the answer");
    console.log(JSON.stringify({
      transaction_id: id,
      state: "final",
      network_id: runtime.network_id,
      to: addressText(network.address_prefix, to),
      accepted_weight: Number(answer.status.accepted_weight),
      proof_bytes: answer.proof.length,
      elapsed_ms: Math.round(elapsed * 10) / 10,
      vectors,
    }));
  } finally {
    service.close();
  }
}

main().catch((err: Error) => {
  console.error(`error: ${err.message}`);
  process.exitCode = 1;
});
