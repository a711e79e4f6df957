package study

import (
	"fmt"
	"math"
	"strings"
)

// plot is lines over a common axis; x is drawn by log2(1+x).
type plot struct {
	title, x, y string
	lines       []line
}

type line struct {
	name   string
	points []point
}

type point struct{ x, y float64 }

// Colours that differ to most eyes (Okabe and Ito 2008), and dashes that differ without any.
var (
	colours = []string{"#d55e00", "#e69f00", "#0072b2", "#56b4e9", "#009e73", "#cc79a7"}
	dashes  = []string{"", "6 3", "8 2 2 2", "", "6 3", "2 3"}
)

const (
	width, height           = 720, 400
	left, right, top, below = 60, 20, 40, 50
)

// svg draws a plot. The same plot is the same bytes.
func (p plot) svg() []byte {
	var b strings.Builder
	most := 1.0
	far := 1.0
	for _, l := range p.lines {
		for _, q := range l.points {
			most, far = max(most, q.y), max(far, q.x)
		}
	}
	most = math.Ceil(most/10) * 10
	px := func(x float64) float64 {
		return left + (width-left-right)*math.Log2(1+x)/math.Log2(1+far)
	}
	py := func(y float64) float64 { return height - below - (height-top-below)*y/most }
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" role="img">`+"\n", width, height)
	fmt.Fprintf(&b, "<title>%s</title>\n<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", p.title, width, height)
	fmt.Fprintf(&b, "<text x=\"%d\" y=\"24\" font-size=\"15\">%s</text>\n", left, p.title)
	for k := range 6 {
		y := most * float64(k) / 5
		fmt.Fprintf(&b, "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#dddddd\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
			left, width-right, py(y), py(y), left-6, py(y)+4, y)
	}
	if third := 100.0 / 3; third < most {
		fmt.Fprintf(&b, "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#000000\" stroke-dasharray=\"1 4\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">a third</text>\n",
			left, width-right, py(third), py(third), width-right, py(third)-4)
	}
	for _, q := range p.lines[0].points {
		if q.x == 0 || math.Log2(q.x) == math.Trunc(math.Log2(q.x)) {
			fmt.Fprintf(&b, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n", px(q.x), height-below+18, q.x)
		}
	}
	fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", (left+width-right)/2, height-10, p.x)
	fmt.Fprintf(&b, "<text transform=\"translate(16 %d) rotate(-90)\" text-anchor=\"middle\">%s</text>\n", (top+height-below)/2, p.y)
	for k, l := range p.lines {
		var path strings.Builder
		for i, q := range l.points {
			step := "L"
			if i == 0 {
				step = "M"
			}
			fmt.Fprintf(&path, "%s%.1f %.1f", step, px(q.x), py(q.y))
		}
		style := fmt.Sprintf(`fill="none" stroke="%s" stroke-width="2" stroke-dasharray="%s"`, colours[k%len(colours)], dashes[k%len(dashes)])
		fmt.Fprintf(&b, "<path d=\"%s\" %s/>\n", path.String(), style)
		y := top + 12 + 16*k
		fmt.Fprintf(&b, "<path d=\"M%d %dh28\" %s/><text x=\"%d\" y=\"%d\">%s</text>\n", left+12, y, style, left+48, y+4, l.name)
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// table is a plot as Markdown.
func (p plot) table() string {
	var b strings.Builder
	b.WriteString("| " + p.x + " |")
	for _, q := range p.lines[0].points {
		fmt.Fprintf(&b, " %g |", q.x)
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(p.lines[0].points)) + "\n")
	for _, l := range p.lines {
		b.WriteString("| " + l.name + " |")
		for _, q := range l.points {
			fmt.Fprintf(&b, " %.1f |", q.y)
		}
		b.WriteString("\n")
	}
	return b.String()
}
