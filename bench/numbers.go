package bench

import (
	"fmt"
	"strconv"
	"strings"
)

// Numbers reads a list such as "1,4,10", each above zero; empty for none.
func Numbers(list string) (ns []int, err error) {
	for s := range strings.SplitSeq(list, ",") {
		if s == "" {
			continue
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no list of numbers above zero", list)
		}
		ns = append(ns, n)
	}
	return ns, nil
}
