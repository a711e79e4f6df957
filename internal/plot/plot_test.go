package plot

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestPlotIsXML(t *testing.T) {
	for _, p := range []Plot{
		{Title: "t", X: "x", Y: "y", Guide: Guide{At: 100.0 / 3, Name: "a third"}},
		{Title: "t", X: "x", Y: "y", Linear: true, From: 0.5, Every: true},
	} {
		p.Lines = []Line{{"a", []Point{{0.5, 0}, {1, 40}}}, {"b", []Point{{0.5, 5}, {1, 2}}}}
		checkXML(t, p)
	}
}

// checkXML holds a plot of two lines of two points each.
func checkXML(t *testing.T, p Plot) {
	t.Helper()
	svg := string(p.SVG())
	d := xml.NewDecoder(strings.NewReader(svg))
	paths := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "path" {
			paths++
		}
	}
	if paths != 4 || strings.Contains(svg, "a third") != (p.Guide.Name != "") {
		t.Errorf("%d paths", paths)
	}
	if got := strings.Count(p.Table(), "\n"); got != 4 {
		t.Errorf("table of %d lines", got)
	}
}
