// Package gossip is the network side of a node: a libp2p host, four GossipSub topics, four pull
// protocols and one push protocol (docs/spec/network.md).
//
// Raw canonical bytes go in and come out. What they mean is asked of two small interfaces that the node
// implements: Handlers says whether a message that arrived may be passed on, Backend answers the pulls
// of others. Peers are named by their Ed25519 node keys throughout; a libp2p peer id is the same key in
// another coat.
//
// Nothing here blocks for ever and nothing grows without bound. A message that finds its queue full is
// dropped and counted: whoever needs it later pulls it. Messages of one peer may overtake each other by a
// little, since they are validated side by side; a reader of observations waits a moment before it
// calls a missing height a gap.
package gossip
