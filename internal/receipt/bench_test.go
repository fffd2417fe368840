package receipt_test

import "testing"

// BenchmarkWrite is what a receipt costs an execution, besides its bytes.
func BenchmarkWrite(b *testing.B) {
	k, _, _ := key(b)
	for name, signer := range map[string]bool{"signed": true, "unsigned": false} {
		b.Run(name, func(b *testing.B) {
			size := 0
			for b.Loop() {
				if signer {
					size = len(write(b, facts(), k))
				} else {
					size = len(write(b, facts(), nil))
				}
			}
			b.ReportMetric(float64(size), "bytes")
		})
	}
}
