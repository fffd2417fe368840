package store

import (
	"iter"
	"slices"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
)

// mergeSorted merges sources that are each in the order of the query. It drops repeated documents.
func mergeSorted(q *query.Query, sources []iter.Seq2[*document.Document, error]) iter.Seq2[*document.Document, error] {
	if len(sources) == 1 {
		return sources[0]
	}
	return func(yield func(*document.Document, error) bool) {
		heads := make([]*mergeSource, 0, len(sources))
		defer func() {
			for _, h := range heads {
				h.stop()
			}
		}()
		for _, source := range sources {
			next, stop := iter.Pull2(source)
			h := &mergeSource{next: next, stop: stop}
			heads = append(heads, h)
			if !h.advance() {
				yield(nil, h.err)
				return
			}
		}
		var last name.Path
		for {
			h := smallestHead(q, heads)
			if h == nil {
				return
			}
			d := h.doc
			if !h.advance() {
				yield(nil, h.err)
				return
			}
			if last != nil && name.Compare(last, d.Path) == 0 {
				continue
			}
			last = d.Path
			if !yield(d, nil) {
				return
			}
		}
	}
}

// mergeSource is one source and its next document; nil at its end.
type mergeSource struct {
	doc  *document.Document
	err  error
	next func() (*document.Document, error, bool)
	stop func()
}

func (h *mergeSource) advance() bool {
	h.doc, h.err, _ = h.next()
	return h.err == nil
}

// smallestHead searches linearly: there are at most 30 sources.
func smallestHead(q *query.Query, heads []*mergeSource) *mergeSource {
	var out *mergeSource
	for _, h := range heads {
		if h.doc != nil && (out == nil || q.Compare(h.doc, out.doc) < 0) {
			out = h
		}
	}
	return out
}

// scanAndSort runs a query without an index: it reads all documents in scope and sorts the matches.
func (sn *Snapshot) scanAndSort(q *query.Query) iter.Seq2[*document.Document, error] {
	return func(yield func(*document.Document, error) bool) {
		var found []*document.Document
		for d, err := range sn.scanAll(q) {
			if err != nil {
				yield(nil, err)
				return
			}
			found = append(found, d)
		}
		slices.SortFunc(found, q.Compare)
		for _, d := range found {
			if !yield(d, nil) {
				return
			}
		}
	}
}

// scanAll yields the matches in no particular order. A historical snapshot takes old versions from its history.
func (sn *Snapshot) scanAll(q *query.Query) iter.Seq2[*document.Document, error] {
	return func(yield func(*document.Document, error) bool) {
		collections := []string{q.Collection}
		if q.Collection == "" {
			var err error
			if collections, err = sn.collectionIDs(q.Database); err != nil {
				yield(nil, err)
				return
			}
		}
		for _, id := range collections {
			one := *q
			one.Collection = id
			for d, err := range sn.scanDocuments(q, documentsPrefix(q.Database, id), scan{keys: scopeKeys(&one)}) {
				if err == nil && sn.historical && sn.changedSince(d.Path.String()) {
					continue
				}
				if !yield(d, err) {
					return
				}
			}
		}
		for _, d := range sn.pastDocuments {
			if q.Matches(d) && !yield(d, nil) {
				return
			}
		}
	}
}
