// Package wallet keeps a person's keys and the networks they trust, in files that only they can read.
//
// A wallet is 24 words (BIP-39) and an account number; its one Ed25519 key is derived from them by
// SLIP-10. On disk a wallet is one JSON file: in the clear its name, account and public key, so that
// addresses and balances need no passphrase; under an age scrypt recipient the words. Networks are
// kept beside the wallets as the genesis documents that were seen at the first contact.
package wallet
