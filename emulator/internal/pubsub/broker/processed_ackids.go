package broker

// maxProcessedAckIDs is the number of ack IDs that a subscription remembers at least; it remembers at most twice as
// many. Google's clients send up to 2,500 in one call.
const maxProcessedAckIDs = 5_000

// processedAckIDs contains ack IDs that were processed in a call that failed for other ack IDs. Clients send them
// again, and must not get the result that they are invalid.
type processedAckIDs struct {
	recent, older map[ackID]struct{}
}

func (p *processedAckIDs) has(id ackID) bool {
	_, recent := p.recent[id]
	_, older := p.older[id]
	return recent || older
}

// add removes the oldest IDs when there are too many.
func (p *processedAckIDs) add(ids []ackID) {
	for _, id := range ids {
		if p.recent == nil || len(p.recent) == maxProcessedAckIDs {
			p.older, p.recent = p.recent, make(map[ackID]struct{})
		}
		p.recent[id] = struct{}{}
	}
}
