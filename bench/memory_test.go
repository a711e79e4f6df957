package bench

import (
	"fmt"
	"testing"
)

// BenchmarkReads reads memory at places that each depend on the read before, as whoever looks something up does: what one costs where so much
// is in use (docs/scale.md).
func BenchmarkReads(b *testing.B) {
	const line = 64
	for _, mb := range []int{1, 4, 16, 64, 256} {
		b.Run(fmt.Sprintf("MB=%d", mb), func(b *testing.B) {
			memory := make([]byte, mb<<20)
			for i := range memory {
				memory[i] = byte(i % 251)
			}
			lines, at, x := uint64(len(memory)/line), uint64(0), uint64(1)
			for b.Loop() {
				x = x*6364136223846793005 + 1442695040888963407 + uint64(memory[at*line]&1) // Knuth's MMIX
				at = (x >> 33) % lines
			}
		})
	}
}
