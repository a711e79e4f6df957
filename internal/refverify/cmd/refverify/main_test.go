package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func TestRun(t *testing.T) {
	b, err := os.ReadFile("../../../../observation/testdata/proofs.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		Genesis string `json:"genesis"`
		Cases   []struct {
			Name       string `json:"name"`
			File       string `json:"file"`
			Conclusion string `json:"conclusion"`
		} `json:"cases"`
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, digits string) string {
		content, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	codes := map[string]int{"valid": 0, "invalid": 1, "not_enough_weight": 2, "no_trust_root": 3}
	seen := map[int]bool{}
	genesis := write("genesis", all[0].Genesis)
	for _, c := range all[0].Cases {
		var stdout, stderr bytes.Buffer
		code := run([]string{"-genesis", genesis, write("proof", c.File)}, &stdout, &stderr)
		var verdict struct {
			Conclusion string `json:"conclusion"`
		}
		if err := json.Unmarshal(stdout.Bytes(), &verdict); err != nil {
			t.Fatal(err)
		}
		if code != codes[c.Conclusion] || verdict.Conclusion != c.Conclusion {
			t.Errorf("%s: exit %d, %s", c.Name, code, stdout.String())
		}
		seen[code] = true
	}
	if len(seen) != 4 {
		t.Errorf("exit codes seen: %v", seen)
	}
	proof := write("proof", all[0].Cases[0].File)
	for name, c := range map[string]struct {
		args []string
		code int
	}{
		"no genesis":         {[]string{proof}, 3},
		"no proof":           {[]string{"-genesis", genesis}, exitUsage},
		"proof not there":    {[]string{"-genesis", genesis, proof + "x"}, exitUsage},
		"genesis not there":  {[]string{"-genesis", genesis + "x", proof}, exitUsage},
		"genesis is no such": {[]string{"-genesis", proof, proof}, exitUsage},
		"unknown flag":       {[]string{"-colour", proof}, exitUsage},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(c.args, &stdout, &stderr); code != c.code {
			t.Errorf("%s: exit %d, want %d: %s", name, code, c.code, stderr.String())
		}
	}
}
