package dispatch

import "time"

// rate measures how many events happen in a second, as an average that forgets.
type rate struct {
	perSecond float64
	at        time.Time // of the last event
}

// rateMemory is the time after which an event counts a third.
const rateMemory = time.Second

func (r *rate) add(n int, now time.Time) {
	r.perSecond = r.get(now) + float64(n)/rateMemory.Seconds()
	r.at = now
}

// get returns the rate at now. It halves about every 0.7 s without an event.
func (r *rate) get(now time.Time) float64 {
	elapsed := now.Sub(r.at).Seconds() / rateMemory.Seconds()
	return r.perSecond * decay(elapsed)
}
