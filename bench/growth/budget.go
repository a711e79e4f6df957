package growth

import (
	"errors"
	"fmt"
)

// Budget is what one transaction may cost a node of a group, in bytes; docs/scale.md has the reasons.
type Budget struct {
	// Wire is what comes in, each message once. Written is what goes to disk on the way, the log and the first tables
	// of the store included.
	Wire, Written float64
}

// budgeted is from how many transactions an observation on the budget holds. A network with less to do has smaller
// batches, dearer ones, and room for them.
const budgeted = 100

// BudgetOf is that of a group of some peers.
func BudgetOf(peers int) Budget {
	return Budget{Wire: 400 + 150*float64(peers), Written: 3000 + 300*float64(peers)}
}

// CheckBudget reports what a group takes beyond its budget.
func CheckBudget(g *Group) error {
	if g.PerFlush < budgeted {
		return nil
	}
	b := BudgetOf(g.Peers)
	var over []error
	for _, part := range []struct {
		name        string
		takes, most float64
	}{{"on the wire", g.WireObs + g.WireTx, b.Wire}, {"written", g.Written, b.Written}} {
		if part.takes > part.most {
			over = append(over, fmt.Errorf("growth: %d peers: %.0f bytes %s a transaction, the budget is %.0f", g.Peers, part.takes, part.name, part.most))
		}
	}
	return errors.Join(over...)
}
