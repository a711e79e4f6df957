package node

// What clients pay for what is computed for them, in the bytes that are told to whoever keeps account of it (api.Backends): 64 KiB stand for
// a millisecond of a processor.
const (
	costOfSignature = 4 << 10  // to verify one
	costOfAsking    = 16 << 10 // to ask a member for a signature and to verify that
	costOfContender = 64       // to walk past one of a contest
	costOfVote      = 64       // to sort one and to tell of it
	costOfLabel     = 16       // to go through one for the view of one peer
	costOfVoice     = 8        // to go through one for each member of the group
	costOfFinding   = 256      // to find out what a peer says, or that it says nothing
	costOfEvent     = 2 << 10  // to find an output that an address has got or spent
)

// payAtOnce is what is paid in one piece of what is made up of many.
const payAtOnce = 64 << 10

// costOfProof is what it takes to make a proof: its leaves are looked up one by one.
func costOfProof(proof []byte) int {
	if len(proof) == 0 {
		return 0
	}
	return 4<<10 + len(proof)
}
