// Package keyrange computes with ranges of keys in a store that is ordered by the bytes of its keys. It reads no
// store.
package keyrange

import (
	"bytes"
	"slices"
)

// Range contains the keys from Lower up to, but without, Upper. A nil bound is open.
type Range struct{ Lower, Upper []byte }

// WithPrefix contains the keys that begin with prefix.
func WithPrefix(prefix []byte) Range { return Range{Lower: prefix, Upper: PrefixEnd(prefix)} }

// PrefixEnd returns the first key after all keys that begin with prefix; nil if no key follows them.
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			out := slices.Clone(prefix[:i+1])
			out[i]++
			return out
		}
	}
	return nil
}

// Intersect contains the keys that are in both ranges.
func (r Range) Intersect(o Range) Range {
	if bytes.Compare(o.Lower, r.Lower) > 0 {
		r.Lower = o.Lower
	}
	if r.Upper == nil || o.Upper != nil && bytes.Compare(o.Upper, r.Upper) < 0 {
		r.Upper = o.Upper
	}
	return r
}

// Under contains, for each key k of the range, the key prefix+k.
func (r Range) Under(prefix []byte) Range {
	out := WithPrefix(prefix)
	out.Lower = slices.Concat(prefix, r.Lower)
	if r.Upper != nil {
		out.Upper = bytes.Join([][]byte{prefix, r.Upper}, nil) // unlike slices.Concat never nil
	}
	return out
}

// Empty reports whether the range contains no key.
func (r Range) Empty() bool { return r.Upper != nil && bytes.Compare(r.Lower, r.Upper) >= 0 }
