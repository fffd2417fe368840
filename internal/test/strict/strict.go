// Package strict starts the emulators of the tests in strict mode: a query that Google's Firestore would refuse,
// because infra/firestore.indexes.json has no index for it, fails with the index to add.
package strict

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	"github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/infra"
)

// Indexes returns the indexes of infra/firestore.indexes.json. All emulators of a test program share them, so that
// they know all its queries.
var Indexes = sync.OnceValues(func() (*firestore.Indexes, error) { return firestore.ParseIndexes(infra.FirestoreIndexes) })

// StartFirestore is emulatortest.StartFirestore in strict mode.
func StartFirestore(t testing.TB, o firestore.Options, dialOptions ...grpc.DialOption) *emulatortest.Firestore {
	t.Helper()
	var err error
	o.Indexes, err = Indexes()
	require.NoError(t, err)
	return emulatortest.StartFirestore(t, o, dialOptions...)
}
