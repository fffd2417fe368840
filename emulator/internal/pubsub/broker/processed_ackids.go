package broker

// maxExcused is how many ack IDs a subscription remembers at least, and half of
// how many at most. A client settles up to 2,500 in one call.
const maxProcessedAckIDs = 5_000

// excused are ack IDs that were settled in a call that failed for others. Their
// clients settle them once more, and must not hear that they are invalid.
type processedAckIDs struct {
	recent, older map[ackID]struct{}
}

func (e *processedAckIDs) has(id ackID) bool {
	_, recent := e.recent[id]
	_, older := e.older[id]
	return recent || older
}

// add forgets the oldest when there are many.
func (e *processedAckIDs) add(ids []ackID) {
	for _, id := range ids {
		if e.recent == nil || len(e.recent) == maxProcessedAckIDs {
			e.older, e.recent = e.recent, make(map[ackID]struct{})
		}
		e.recent[id] = struct{}{}
	}
}
