// Package utxo is the money: transactions, the outputs they create and consume, and every rule by
// which one is valid (docs/spec/transaction.md). It is pure; what is known of the world comes in as a
// View and a Moment, what a transaction does goes out as a Delta that can be undone.
//
// Decode judges what the bytes alone decide, Validate what needs the outputs it refers to, Tx.Checks
// are the signatures, which nodes verify in batches. Each rule is one function and has a reason code
// of its own; rules are asked from the cheapest to the dearest, and those that condemn for ever
// before those that only ask to wait.
package utxo
