// Checks this program against the vectors that every implementation shares, before it touches money.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { encode, vectorsDir } from "./proto.js";
import { addressOf, addressText, encodeLock, hash, keyLock, parseAddress, sign, signedMessage } from "./wallet.js";
import type { Lock, Signer } from "./wallet.js";

interface LockVector {
  name: string;
  threshold: number;
  keys: string[];
  hash_lock?: string;
  encoding: string;
  address: string;
  text: string;
}

interface ProductVector {
  bytes: string;
  product: string;
}

interface Names {
  prefix: string;
  locks: LockVector[];
  products: ProductVector[];
}

interface WitnessVector {
  seeds: string[];
  lock: string;
  preimage?: string;
}

interface TransactionVector {
  name: string;
  body_json: Record<string, unknown>;
  body: string;
  id: string;
  signed_message: string;
  witnesses: WitnessVector[];
  transaction: string;
}

function read<T>(file: string): T {
  return JSON.parse(readFileSync(vectorsDir + file, "utf8")) as T;
}

let checked = 0;

function equal(what: string, got: Uint8Array | string, want: string): void {
  const text = typeof got === "string" ? got : bytesToHex(got);
  if (text !== want) throw new Error(`vector ${what}: got ${text}, want ${want}`);
  checked++;
}

function checkNames(names: Names): Map<string, Lock> {
  const locks = new Map<string, Lock>();
  for (const v of names.locks) {
    const lock: Lock = {
      threshold: v.threshold,
      keys: v.keys.map((k) => hexToBytes(k)),
      ...(v.hash_lock && { hashLock: hexToBytes(v.hash_lock) }),
    };
    equal(`${v.name}, encoding`, encodeLock(lock), v.encoding);
    equal(`${v.name}, address`, addressOf(lock), v.address);
    equal(`${v.name}, text`, addressText(names.prefix, addressOf(lock)), v.text);
    equal(`${v.name}, text read`, parseAddress(names.prefix, v.text), v.address);
    locks.set(v.encoding, lock);
  }
  for (const v of names.products) equal("product", hash("notary/product/v1", hexToBytes(v.bytes)), v.product);
  return locks;
}

function checkTransaction(network: string, v: TransactionVector, locks: Map<string, Lock>): void {
  const body = encode("TransactionBody", snakeCase(v.body_json) as Record<string, unknown>);
  equal(`${v.name}, body`, body, v.body);
  const signers: Signer[] = v.witnesses.map((w) => {
    const seeds = w.seeds.map((s) => hexToBytes(s));
    const lock = locks.get(w.lock) ?? keyLock(seeds[0]!);
    equal(`${v.name}, lock`, encodeLock(lock), w.lock);
    return {
      lock,
      seeds,
      ...(w.preimage && { preimage: hexToBytes(w.preimage) }),
    };
  });
  const signed = sign(hexToBytes(network), body, signers);
  equal(`${v.name}, id`, signed.id, v.id);
  equal(`${v.name}, signed message`, signedMessage(hexToBytes(network), signed.id), v.signed_message);
  equal(`${v.name}, transaction`, signed.bytes, v.transaction);
}

/** JSON mapping names are lowerCamelCase, the .proto's own are not. */
function snakeCase(v: unknown): unknown {
  if (Array.isArray(v)) return v.map(snakeCase);
  if (v === null || typeof v !== "object") return v;
  return Object.fromEntries(
    Object.entries(v).map(([k, x]) => [k.replace(/[A-Z]/g, (c) => "_" + c.toLowerCase()), snakeCase(x)]),
  );
}

/** Throws where a vector differs; returns how many values were compared. */
export function checkVectors(): number {
  checked = 0;
  const locks = checkNames(read<Names>("names.json"));
  const valid = read<{ network: string; transactions: TransactionVector[] }>("valid.json");
  for (const v of valid.transactions) checkTransaction(valid.network, v, locks);
  if (valid.transactions.length === 0 || locks.size === 0) throw new Error("there are no vectors");
  return checked;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  console.log(JSON.stringify({ vectors: checkVectors() }));
}
