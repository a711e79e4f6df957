package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// forgery is a proof with one part changed, and what verification said of it.
type forgery struct {
	// Part that was changed.
	Part string `json:"part"`
	*judgement
}

type forgeView struct {
	File      string    `json:"file"`
	Forgeries []forgery `json:"forgeries"`
	// Passed are those that were not refused: none, or something is badly wrong.
	Passed int `json:"passed"`
}

func (a *app) demoCommand() *cobra.Command {
	c := &cobra.Command{Use: "demo", GroupID: "dev", Short: "See the network resist: forged proofs, double spends"}
	c.AddCommand(a.forgeCommand(), a.doubleSpendCommand())
	return c
}

func (a *app) forgeCommand() *cobra.Command {
	var genesisFile string
	c := &cobra.Command{
		Use: "forge PROOF", Short: "Change one byte in each part of a proof and see each forgery refused",
		Long: "Takes a valid proof file apart, changes one byte in each of its parts in turn, and verifies every\n" +
			"forgery offline. Nothing is written. Exit code 0 when each was refused, 1 when one passed.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			v, err := a.forge(args[0], genesisFile)
			if err != nil {
				return err
			}
			if err := a.print(v, v.write); err != nil {
				return err
			}
			if v.Passed > 0 {
				return &verdictFailed{exitFailed}
			}
			return nil
		},
	}
	c.Flags().StringVar(&genesisFile, "genesis", "", "trust this genesis `file` instead of the networks trusted here")
	return c
}

func (a *app) forge(path, genesisFile string) (*forgeView, error) {
	p, err := readProof(path)
	if err != nil {
		return nil, err
	}
	if p.compact != nil {
		return nil, usage("demo forge: %s is a compact proof; this forges the parts of an ordinary one", path)
	}
	_, root, _, err := a.trustRoot(p, checking{genesis: genesisFile})
	if err != nil {
		return nil, err
	}
	if j, err := a.judge(p, checking{genesis: genesisFile}); err != nil || j.Conclusion != observation.Valid {
		return nil, errors.Join(usage("demo forge: %s is not a valid proof to begin with", path), err)
	}
	var whole notaryv1.AcceptanceProof
	if err := proto.Unmarshal(p.Encode(), &whole); err != nil {
		return nil, err
	}
	v := &forgeView{File: path}
	for _, part := range partsOf(whole.ProtoReflect(), "") {
		forged := proto.Clone(&whole).(*notaryv1.AcceptanceProof)
		part.change(forged.ProtoReflect())
		j, err := judgeForgery(forged, root)
		if err != nil {
			return nil, err
		}
		if j.Conclusion == observation.Valid {
			v.Passed++
		}
		v.Forgeries = append(v.Forgeries, forgery{part.name, j})
	}
	return v, nil
}

func (v *forgeView) write(w io.Writer) {
	table(w, func(w io.Writer) {
		for _, f := range v.Forgeries {
			verdict := "refused"
			if f.Conclusion == observation.Valid {
				verdict = "PASSED"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Part, verdict, f.Reason, f.Field)
		}
	})
	fmt.Fprintf(w, "%d forgeries, %d refused\n", len(v.Forgeries), len(v.Forgeries)-v.Passed)
}

// proofPart is one scalar of a proof, by the path of fields and list positions that leads to it.
type proofPart struct {
	name  string
	steps []partStep
}

type partStep struct {
	field protoreflect.FieldDescriptor
	index int // in a list; -1 elsewhere
}

// partsOf are all scalars that are set below a message, in the order of their fields.
func partsOf(m protoreflect.Message, prefix string) []proofPart {
	var parts []proofPart
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.IsList():
			list := m.Get(f).List()
			for j := range list.Len() {
				name := fmt.Sprintf("%s%s[%d]", prefix, f.Name(), j)
				parts = append(parts, below(list.Get(j), partStep{f, j}, name)...)
			}
		case m.Has(f) || f.Kind() != protoreflect.BytesKind: // an absent number is a zero
			parts = append(parts, below(m.Get(f), partStep{f, -1}, prefix+string(f.Name()))...)
		}
	}
	return parts
}

func below(v protoreflect.Value, step partStep, name string) []proofPart {
	if step.field.Message() == nil {
		return []proofPart{{name, []partStep{step}}}
	}
	parts := partsOf(v.Message(), name+".")
	for i := range parts {
		parts[i].steps = append([]partStep{step}, parts[i].steps...)
	}
	return parts
}

// change flips the lowest bit of a byte in the part, or of the number.
func (p *proofPart) change(m protoreflect.Message) {
	for _, s := range p.steps[:len(p.steps)-1] {
		if s.index >= 0 {
			m = m.Mutable(s.field).List().Get(s.index).Message()
		} else {
			m = m.Mutable(s.field).Message()
		}
	}
	last := p.steps[len(p.steps)-1]
	old := m.Get(last.field)
	if last.index >= 0 {
		m.Mutable(last.field).List().Set(last.index, flip(m.Get(last.field).List().Get(last.index)))
		return
	}
	m.Set(last.field, flip(old))
}

// flipAt is the byte that is changed where there is one: within the body of a transaction, whose
// witnesses are no part of what is proven.
const flipAt = 20

func flip(v protoreflect.Value) protoreflect.Value {
	switch x := v.Interface().(type) {
	case []byte:
		b := slices.Clone(x)
		b[min(len(b)/2, flipAt)] ^= 1
		return protoreflect.ValueOfBytes(b)
	case uint32:
		return protoreflect.ValueOfUint32(x ^ 1)
	case uint64:
		return protoreflect.ValueOfUint64(x ^ 1)
	default:
		panic(fmt.Sprintf("notary: a proof holds a %T", x))
	}
}

// judgeForgery verifies the bytes as they would come from a stranger, against the genesis of the
// original: the network that a proof names is one of its parts.
func judgeForgery(forged *notaryv1.AcceptanceProof, root *group.Genesis) (*judgement, error) {
	b, err := canonical.Marshal(forged)
	if err != nil {
		return nil, err
	}
	j := &judgement{}
	p, err := observation.DecodeProof(b, observation.Limits{})
	if err != nil {
		j.invalid(err)
		return j, nil
	}
	verdict, err := p.Verify(client.Root(root))
	if err != nil {
		j.invalid(err)
		return j, nil
	}
	j.Conclusion = verdict.Conclusion
	if j.Conclusion != observation.Valid {
		j.Reason, j.Field = "NO_TRUST_ROOT", "link"
		if j.Conclusion == observation.NotEnoughWeight {
			j.Reason, j.Field = "NOT_ENOUGH_WEIGHT", "transactions"
		}
	}
	return j, nil
}
