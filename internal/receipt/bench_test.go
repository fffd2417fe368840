package receipt_test

import "testing"

// BenchmarkMarshal measures the time and the size that a receipt adds to an execution.
func BenchmarkMarshal(b *testing.B) {
	k, _, _ := newKey(b)
	for name, signer := range map[string]bool{"signed": true, "unsigned": false} {
		b.Run(name, func(b *testing.B) {
			size := 0
			for b.Loop() {
				if signer {
					size = len(mustMarshal(b, testFacts(), k))
				} else {
					size = len(mustMarshal(b, testFacts(), nil))
				}
			}
			b.ReportMetric(float64(size), "bytes")
		})
	}
}
