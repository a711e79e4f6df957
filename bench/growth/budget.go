package growth

import (
	"errors"
	"fmt"
)

// Budget is what one transaction may cost a node of a group, in bytes; docs/scale.md has the reasons.
type Budget struct {
	// Wire is what comes in, each message once. Kept is what is on disk in the end, nothing pruned, Written what goes
	// there on the way: log, first tables, compactions.
	Wire, Kept, Written float64
	// Proof is the largest acceptance proof of one transaction, without its bytes and links; 0 is none.
	Proof float64
}

// proven is how many peers there are at most where proofs by edges have a budget: beyond, the compact form is the small one.
const proven = 20

// budgeted is from how many transactions a flush on the budget holds. A network with less to do has smaller
// batches, dearer ones, and room for them.
const budgeted = 100

// rewrites is how often a byte that is kept may be written: to the log, to a table, and one and a half times more by
// compactions.
const rewrites = 3.5

// BudgetOf is that of a group of some peers.
func BudgetOf(peers int) Budget {
	kept := 900 + 120*float64(peers)
	b := Budget{Wire: 400 + 150*float64(peers), Kept: kept, Written: rewrites * kept}
	if peers <= proven {
		b.Proof = 250 + 237.5*float64(peers)
	}
	return b
}

// CheckBudget reports what a group takes beyond its budget.
func CheckBudget(g *Group) error {
	if g.PerFlush < budgeted {
		return nil
	}
	b := BudgetOf(g.Peers)
	var over []error
	if g.Proofs != nil && b.Proof > 0 && g.Proofs.Most > b.Proof {
		over = append(over, fmt.Errorf("growth: %d peers: an acceptance proof of %.0f bytes, the budget is %.0f", g.Peers, g.Proofs.Most, b.Proof))
	}
	for _, part := range []struct {
		name        string
		takes, most float64
	}{{"on the wire", g.WireObs + g.WireTx, b.Wire}, {"kept", g.Total, b.Kept}, {"written", g.Written, b.Written}} {
		if part.takes > part.most {
			over = append(over, fmt.Errorf("growth: %d peers: %.0f bytes %s a transaction, the budget is %.0f", g.Peers, part.takes, part.name, part.most))
		}
	}
	return errors.Join(over...)
}
