package epoch

import (
	"slices"
	"testing"

	"github.com/notarynet/notaryd/proto/group"
)

// TestFitting: who names more peers than there is room for is left out, and nobody after him.
func TestFitting(t *testing.T) {
	many := make(map[int]int32)
	for i := range 50 {
		many[100+i] = 1
	}
	s := seeds(t, 4)
	s = s.After(s.group, []*group.Peer{peer(0, 1, map[int]int32{1: 5, 90: 5})}) // five names
	read := []*group.Peer{peer(1, 1, map[int]int32{91: 1}), peer(2, 1, many), peer(3, 1, map[int]int32{90: 1, 91: 1}), peer(4, 1, nil), peer(5, 1, nil)}
	for most, want := range map[int][]int{1000: {0, 1, 2, 3, 4}, 58: {0, 1, 2, 3, 4}, 57: {0, 1, 2, 3}, 50: {0, 2, 3, 4}, 7: {0, 2, 3}, 6: {0, 2}, 5: {}} {
		var expected []*group.Peer
		for _, i := range want {
			expected = append(expected, read[i])
		}
		if got := s.within(read, most); !slices.Equal(got, expected) {
			t.Errorf("of at most %d: %d of them, want %v", most, len(got), want)
		}
	}
	if got := s.Fitting(read); !slices.Equal(got, read) {
		t.Error("somebody is left out where there is room")
	}
}
