package firestore

import (
	"os"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/indexes"
	"github.com/airlock-run/airlock/emulator/internal/firestore/listen"
	"github.com/airlock-run/airlock/emulator/internal/firestore/meter"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
	"github.com/airlock-run/airlock/emulator/internal/firestore/write"
)

type (
	// Indexes are the indexes of a firestore.indexes.json, and a record of what queries have used of them. Several
	// servers may share one.
	Indexes = indexes.Set
	// IndexedQuery is one form of query, and the indexes that serve it.
	IndexedQuery = indexes.Query

	// Report is what the cloud would bill and throttle.
	Report = meter.Report
	// Usage is a number of billed operations.
	Usage = meter.Usage
	// Reads are billed document reads, by what has caused them.
	Reads = meter.Reads
	// Rate is the highest write rate of a document or of a range of an index.
	Rate = meter.Rate
)

// ParseIndexes reads the content of a firestore.indexes.json, as the Firebase CLI deploys it.
func ParseIndexes(content []byte) (*Indexes, error) { return indexes.Parse(content) }

// ReadIndexes reads a firestore.indexes.json.
func ReadIndexes(path string) (*Indexes, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return ParseIndexes(content)
}

// prepareQuery refuses a query that the cloud refuses, and builds the emulator's own indexes for it. aggregated are the
// fields that are summed or averaged.
func (s *Server) prepareQuery(q *query.Query, aggregated []field.Path) error {
	if s.indexes != nil {
		if err := s.indexes.Check(q, aggregated); err != nil {
			return err
		}
	}
	return s.store.EnsureIndexes(q)
}

// Report returns what the cloud would bill and throttle. It is empty unless Options.Indexes are set.
func (s *Server) Report() Report {
	if s.meter == nil {
		return Report{}
	}
	return s.meter.Report()
}

// bill counts writes that were committed.
func (s *Server) bill(writes []write.Write) {
	for _, w := range writes {
		s.meter.AddWrite(w.Path.Collection(), w.IsDelete())
	}
}

// newListenStream returns a stream that refuses the queries that other calls refuse, and counts what it sends.
func (s *Server) newListenStream(send listen.Send) *listen.Stream {
	prepare := func(q *query.Query) error { return s.prepareQuery(q, nil) }
	if s.meter != nil {
		send = s.billListener(send)
	}
	return listen.NewStream(s.broadcaster, s.store, prepare, send)
}

// billListener counts a read for each document that is sent or that leaves the result because it has changed, and one
// for a target that begins without a document.
func (s *Server) billListener(send listen.Send) listen.Send {
	begun := map[int32]bool{} // targets that have sent no document yet
	return func(r *pb.ListenResponse) error {
		collection := ""
		billed := 0
		switch m := r.GetResponseType().(type) {
		case *pb.ListenResponse_DocumentChange:
			collection, billed = collectionOf(m.DocumentChange.GetDocument().GetName()), 1
			delete(begun, m.DocumentChange.GetTargetIds()[0])
		case *pb.ListenResponse_DocumentRemove:
			collection, billed = collectionOf(m.DocumentRemove.GetDocument()), 1
		case *pb.ListenResponse_TargetChange:
			for _, id := range m.TargetChange.GetTargetIds() {
				switch m.TargetChange.GetTargetChangeType() {
				case pb.TargetChange_ADD:
					begun[id] = true
				case pb.TargetChange_CURRENT:
					if begun[id] {
						billed++
					}
					delete(begun, id)
				}
			}
		}
		if billed > 0 {
			s.meter.AddReads(meter.Listen, collection, billed)
		}
		return send(r)
	}
}

func collectionOf(document string) string {
	_, p, err := name.ParseDocument(document)
	if err != nil {
		return ""
	}
	return p.Collection()
}
