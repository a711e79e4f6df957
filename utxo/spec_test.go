package utxo

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// TestSpecExample: the worked example of the specification is the vector it says it is.
func TestSpecExample(t *testing.T) {
	page, err := os.ReadFile("../docs/spec/transaction.md")
	if err != nil {
		t.Fatal(err)
	}
	tx := mustFinish(t, validDrafts(t)["transfer with change and fee"])
	signature := hex.EncodeToString(tx.Witnesses[0].Signatures[0].Signature[:])
	public := alice.Public()
	for name, want := range map[string]string{
		"network": tx.Network.String(), "public key": public.String(), "id": tx.ID.String(),
		"address": aliceLock.Address().String(), "text": FormatAddress(prefix, aliceLock.Address()),
		"R": signature[:64], "s": signature[64:], "memo": "3a0d " + hex.EncodeToString(tx.Memo),
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("%s %s is not in the specification", name, want)
		}
	}
}

// TestSpecNamesEveryReason that a transaction can be refused for.
func TestSpecNamesEveryReason(t *testing.T) {
	var text string
	for _, name := range []string{"transaction.md", "encoding.md"} {
		page, err := os.ReadFile("../docs/spec/" + name)
		if err != nil {
			t.Fatal(err)
		}
		text += string(page)
	}
	for r := notaryv1.Reason_REASON_TOO_LARGE; r <= notaryv1.Reason_REASON_FEE_TOO_LOW; r++ {
		if notaryv1.Reason_name[int32(r)] != "" && !strings.Contains(text, "`"+refusal.Name(r)+"`") {
			t.Errorf("%s is not in the specification", refusal.Name(r))
		}
	}
}
