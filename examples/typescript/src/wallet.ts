// Hashes, keys, addresses and signed transactions, as docs/spec/encoding.md and transaction.md have them.
import { ed25519 } from "@noble/curves/ed25519.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { bech32m } from "@scure/base";
import { encode } from "./proto.js";

const zero = Uint8Array.of(0);

/** H(tag, m) = SHA-256(tag || 0x00 || m): encoding.md, section 2. */
export function hash(tag: string, message: Uint8Array): Uint8Array {
  return sha256(concatBytes(utf8ToBytes(tag), zero, message));
}

/** What is signed for a transaction: encoding.md, section 3. */
export function signedMessage(network: Uint8Array, id: Uint8Array): Uint8Array {
  return concatBytes(utf8ToBytes("notary/tx/v1"), zero, network, id);
}

/** Lock is `threshold` of `keys`, which ascend. */
export interface Lock {
  threshold: number;
  keys: Uint8Array[];
  hashLock?: Uint8Array;
}

/** The canonical encoding of a lock. */
export function encodeLock(lock: Lock): Uint8Array {
  return encode("Lock", {
    threshold: lock.threshold,
    keys: lock.keys,
    ...(lock.hashLock && { hash_lock: lock.hashLock }),
  });
}

/** The address is the hash of the lock. */
export function addressOf(lock: Lock): Uint8Array {
  return hash("notary/lock/v1", encodeLock(lock));
}

/** The text of an address: encoding.md, section 4. */
export function addressText(prefix: string, address: Uint8Array): string {
  return bech32m.encode(prefix, bech32m.toWords(address));
}

/** The bytes of an address's text; throws for a mistyped one and for another network's. */
export function parseAddress(prefix: string, text: string): Uint8Array {
  const decoded = bech32m.decodeToBytes(text);
  if (decoded.prefix !== prefix || decoded.bytes.length !== 32) {
    throw new Error(`${text} is no address with prefix ${prefix}`);
  }
  return decoded.bytes;
}

/** The lock of one key. */
export function keyLock(seed: Uint8Array): Lock {
  return { threshold: 1, keys: [ed25519.getPublicKey(seed)] };
}

/** Signer is a lock with the seeds of those of its keys that sign. */
export interface Signer {
  lock: Lock;
  seeds: Uint8Array[];
  preimage?: Uint8Array;
}

/** Signed is a transaction, ready to be submitted. */
export interface Signed {
  id: Uint8Array;
  bytes: Uint8Array;
}

/** Signs an encoded body: transaction.md, section 5. */
export function sign(network: Uint8Array, body: Uint8Array, signers: Signer[]): Signed {
  const id = hash("notary/tx/v1", body);
  const message = signedMessage(network, id);
  const witnesses = signers.map((s) => ({
    lock: {
      threshold: s.lock.threshold,
      keys: s.lock.keys,
      ...(s.lock.hashLock && { hash_lock: s.lock.hashLock }),
    },
    signatures: s.seeds
      .map((seed) => ({ key: position(s.lock, seed), signature: ed25519.sign(message, seed) }))
      .sort((a, b) => a.key - b.key)
      // Key 0 is a default and is left out.
      .map(({ key, signature }) => (key === 0 ? { signature } : { key, signature })),
    ...(s.preimage && { preimage: s.preimage }),
  }));
  return { id, bytes: encode("Transaction", { body, witnesses }) };
}

function position(lock: Lock, seed: Uint8Array): number {
  const key = Buffer.from(ed25519.getPublicKey(seed));
  const i = lock.keys.findIndex((k) => key.equals(k));
  if (i < 0) throw new Error("a signer's key is not in the lock");
  return i;
}
