package bench

import "fmt"

// What a network may lose past saturation, when twice its peak is offered.
const (
	pastRate    = 0.9 // of the finals a second at the peak
	pastLatency = 3.0 // times the 99th percentile at the peak
)

// CheckPast holds a figure past saturation against the peak.
func (f *Figure) CheckPast() error {
	switch {
	case f.Failed > 0:
		return fmt.Errorf("bench: past saturation %d transactions had no good answer", f.Failed)
	case f.Refused == 0:
		return fmt.Errorf("bench: none of %d tx/s was refused, so that is not past saturation: the peak is higher", f.Offered)
	case f.OfPeak < pastRate || f.P99OfPeak > pastLatency:
		return fmt.Errorf("bench: past saturation %.2f of the peak, p99 %.2f times as long; wanted are %.1f and %.1f", f.OfPeak, f.P99OfPeak, pastRate, pastLatency)
	}
	return nil
}
