// Package plot draws lines as SVG and writes them as Markdown tables. The same plot is the same bytes.
package plot

import (
	"fmt"
	"math"
	"strings"
)

// Plot is lines over a common axis, y from 0 up.
type Plot struct {
	// Title, X and Y are texts, the latter two of the axes.
	Title, X, Y string
	Lines       []Line
	// Linear draws x as it is and not by log2(1+x). From is where the axis of x begins.
	Linear bool
	From   float64
	// Every labels every x of the first line, and not only powers of two.
	Every bool
	// Guide is drawn across, dotted, where it has a name.
	Guide Guide
}

// Guide is a value of y to compare with.
type Guide struct {
	At   float64
	Name string
}

// Line is points by ascending x.
type Line struct {
	Name   string
	Points []Point
}

// Point is one value.
type Point struct{ X, Y float64 }

// Colours that differ to most eyes (Okabe and Ito 2008), and dashes that differ without any.
var (
	colours = []string{"#d55e00", "#e69f00", "#0072b2", "#56b4e9", "#009e73", "#cc79a7"}
	dashes  = []string{"", "6 3", "8 2 2 2", "", "6 3", "2 3"}
)

const (
	width, height           = 720, 400
	left, right, top, below = 60, 20, 40, 50
)

// SVG draws the plot.
func (p Plot) SVG() []byte {
	var b strings.Builder
	most := 1.0
	far := 1.0
	for _, l := range p.Lines {
		for _, q := range l.Points {
			most, far = max(most, q.Y), max(far, q.X)
		}
	}
	most = math.Ceil(most/10) * 10
	scale := func(x float64) float64 {
		if p.Linear {
			return x
		}
		return math.Log2(1 + x)
	}
	px := func(x float64) float64 {
		return left + (width-left-right)*(scale(x)-scale(p.From))/(scale(far)-scale(p.From))
	}
	py := func(y float64) float64 { return height - below - (height-top-below)*y/most }
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" role="img">`+"\n", width, height)
	fmt.Fprintf(&b, "<title>%s</title>\n<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", p.Title, width, height)
	fmt.Fprintf(&b, "<text x=\"%d\" y=\"24\" font-size=\"15\">%s</text>\n", left, p.Title)
	for k := range 6 {
		y := most * float64(k) / 5
		fmt.Fprintf(&b, "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#dddddd\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
			left, width-right, py(y), py(y), left-6, py(y)+4, y)
	}
	if at := p.Guide.At; p.Guide.Name != "" && at < most {
		fmt.Fprintf(&b, "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#000000\" stroke-dasharray=\"1 4\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
			left, width-right, py(at), py(at), width-right, py(at)-4, p.Guide.Name)
	}
	for _, q := range p.Lines[0].Points {
		if p.Every || q.X == 0 || math.Log2(q.X) == math.Trunc(math.Log2(q.X)) {
			fmt.Fprintf(&b, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n", px(q.X), height-below+18, q.X)
		}
	}
	fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", (left+width-right)/2, height-10, p.X)
	fmt.Fprintf(&b, "<text transform=\"translate(16 %d) rotate(-90)\" text-anchor=\"middle\">%s</text>\n", (top+height-below)/2, p.Y)
	for k, l := range p.Lines {
		var path strings.Builder
		for i, q := range l.Points {
			step := "L"
			if i == 0 {
				step = "M"
			}
			fmt.Fprintf(&path, "%s%.1f %.1f", step, px(q.X), py(q.Y))
		}
		style := fmt.Sprintf(`fill="none" stroke="%s" stroke-width="2" stroke-dasharray="%s"`, colours[k%len(colours)], dashes[k%len(dashes)])
		fmt.Fprintf(&b, "<path d=\"%s\" %s/>\n", path.String(), style)
		y := top + 12 + 16*k
		fmt.Fprintf(&b, "<path d=\"M%d %dh28\" %s/><text x=\"%d\" y=\"%d\">%s</text>\n", left+12, y, style, left+48, y+4, l.Name)
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// Table is the plot as Markdown.
func (p Plot) Table() string {
	var b strings.Builder
	b.WriteString("| " + p.X + " |")
	for _, q := range p.Lines[0].Points {
		fmt.Fprintf(&b, " %g |", q.X)
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(p.Lines[0].Points)) + "\n")
	for _, l := range p.Lines {
		b.WriteString("| " + l.Name + " |")
		for _, q := range l.Points {
			fmt.Fprintf(&b, " %.1f |", q.Y)
		}
		b.WriteString("\n")
	}
	return b.String()
}
