package simulator

// PriceList is in USD.
type PriceList struct {
	Read, Write, Delete float64 // for one document
	MessageByte         float64
}

// Prices are Google's list prices without the free quotas: Firestore, Standard edition, in the single region
// us-central1 (https://cloud.google.com/firestore/pricing), and Pub/Sub (https://cloud.google.com/pubsub/pricing). A
// multi-region database costs twice as much. Storage and network are left out.
var Prices = PriceList{Read: 0.03 / 1e5, Write: 0.09 / 1e5, Delete: 0.01 / 1e5, MessageByte: 40.0 / (1 << 40)}

// Of returns what the counted operations cost.
func (p PriceList) Of(c Counts) float64 {
	return float64(c.Sum(Reads))*p.Read + float64(c.Sum(Writes))*p.Write + float64(c.Sum(Deletes))*p.Delete +
		float64(c.Sum(MessageBytes))*p.MessageByte
}

const (
	secondsPerDay   = 24 * 60 * 60
	secondsPerMonth = 30 * secondsPerDay
)
