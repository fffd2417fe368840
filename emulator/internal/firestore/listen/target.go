package listen

import (
	"encoding/binary"
	"slices"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
)

// target is a query or a list of documents that a stream watches, and the versions that the client has.
type target struct {
	id         int32
	once       bool
	db         name.Database
	query      *query.Query // nil if the target is a list of documents
	documents  []name.Path
	watchKeys  []watchKey
	resumeTime document.Time // of the resume token; zero if the client has nothing yet

	readTime     document.Time            // the client is up to date with this commit
	sentVersions map[string]document.Time // by path, the update times of the documents that the client has
}

// resumeToken encodes the time up to which the client is up to date.
func resumeToken(t document.Time) []byte { return binary.BigEndian.AppendUint64(nil, uint64(t)) }

func parseTarget(db name.Database, t *pb.Target) (*target, error) {
	out := &target{id: t.GetTargetId(), once: t.GetOnce(), db: db, sentVersions: map[string]document.Time{}}
	if err := out.parseResume(t); err != nil {
		return nil, err
	}
	switch what := t.GetTargetType().(type) {
	case *pb.Target_Documents:
		return out, out.parseDocuments(what.Documents.GetDocuments())
	case *pb.Target_Query:
		return out, out.parseQuery(what.Query)
	}
	return nil, status.Error(codes.InvalidArgument, "A target has neither documents nor a query.")
}

func (t *target) parseResume(from *pb.Target) error {
	switch r := from.GetResumeType().(type) {
	case *pb.Target_ResumeToken:
		switch len(r.ResumeToken) {
		case 0:
		case 8:
			t.resumeTime = document.Time(binary.BigEndian.Uint64(r.ResumeToken))
		default:
			return status.Error(codes.InvalidArgument, "The resume token is not one of this server's.")
		}
	case *pb.Target_ReadTime:
		t.resumeTime = document.ParseTime(r.ReadTime)
	}
	return nil
}

func (t *target) parseDocuments(names []string) error {
	if len(names) == 0 {
		return status.Error(codes.InvalidArgument, "A target lists no documents.")
	}
	for _, full := range names {
		db, p, err := name.ParseDocument(full)
		if err != nil {
			return err
		}
		if db != t.db {
			return status.Errorf(codes.InvalidArgument, "Document %q is not in database %q.", full, t.db)
		}
		t.documents = append(t.documents, p)
		t.watchKeys = append(t.watchKeys, watchKey{database: t.db, document: p.String()})
	}
	return nil
}

func (t *target) parseQuery(from *pb.Target_QueryTarget) error {
	db, parent, err := name.ParseParent(from.GetParent())
	if err != nil {
		return err
	}
	if db != t.db {
		return status.Errorf(codes.InvalidArgument, "Parent %q is not in database %q.", from.GetParent(), t.db)
	}
	if t.query, err = query.Parse(db, parent, from.GetStructuredQuery()); err != nil {
		return err
	}
	t.watchKeys = []watchKey{{database: db, collection: t.query.Collection}}
	return nil
}

// read returns the documents of the target in a snapshot, in order.
func (t *target) read(sn *store.Snapshot) ([]*document.Document, error) {
	var out []*document.Document
	if t.query == nil {
		for _, p := range t.documents {
			d, err := sn.Get(t.db, p)
			if err != nil {
				return nil, err
			}
			if d != nil {
				out = append(out, d)
			}
		}
		return out, nil
	}
	for d, err := range sn.RunQuery(t.query) {
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// affectedBy reports whether a change may change the documents of the target.
func (t *target) affectedBy(c store.Change) bool {
	if t.query == nil {
		return slices.ContainsFunc(t.documents, func(p name.Path) bool { return name.Compare(p, c.Path) == 0 })
	}
	return t.matches(c.Old) || t.matches(c.New)
}

// matches reports whether a document belongs to the target, apart from limit and offset.
func (t *target) matches(d *document.Document) bool {
	switch {
	case d == nil:
		return false
	case t.query == nil:
		return true
	}
	return t.query.Matches(d) && !t.query.BeforeStart(d) && !t.query.AfterEnd(d)
}

// hasLimitOrOffset reports whether a change may affect other documents of the target, so that it must be read again.
func (t *target) hasLimitOrOffset() bool {
	return t.query != nil && (t.query.Limit > 0 || t.query.Offset > 0)
}
