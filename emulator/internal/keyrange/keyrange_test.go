package keyrange_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/emulator/internal/keyrange"
)

func TestPrefixEnd(t *testing.T) {
	for prefix, want := range map[string]string{"a": "b", "a\xff": "b", "a\xff\x01": "a\xff\x02", "\xff": "", "": ""} {
		r := keyrange.WithPrefix([]byte(prefix))
		require.Equal(t, prefix, string(r.Lower))
		require.Equal(t, want, string(r.Upper))
	}
}

func contains(r keyrange.Range, key []byte) bool {
	return bytes.Compare(key, r.Lower) >= 0 && (r.Upper == nil || bytes.Compare(key, r.Upper) < 0)
}

// Few different bytes, so that random keys and bounds are often equal or prefixes of each other.
var (
	genKey   = rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'a', 0xff}), 0, 3)
	genRange = rapid.Custom(func(t *rapid.T) keyrange.Range {
		r := keyrange.Range{Lower: genKey.Draw(t, "lower")}
		if rapid.Bool().Draw(t, "bounded") {
			r.Upper = genKey.Draw(t, "upper")
		}
		return r
	})
)

func TestRangeOperationsMatchTheirDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genRange.Draw(t, "a"), genRange.Draw(t, "b")
		key, prefix := genKey.Draw(t, "key"), genKey.Draw(t, "prefix")
		require.Equal(t, contains(a, key) && contains(b, key), contains(a.Intersect(b), key))
		require.Equal(t, bytes.HasPrefix(key, prefix), contains(keyrange.WithPrefix(prefix), key))
		require.Equal(t, bytes.HasPrefix(key, prefix) && contains(a, key[min(len(prefix), len(key)):]), contains(a.Under(prefix), key))
		if a.Empty() {
			require.False(t, contains(a, key))
		}
	})
}
