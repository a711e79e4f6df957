//go:build race

package bubble

// Raced says whether the race detector is on.
const Raced = true
