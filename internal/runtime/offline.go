package runtime

import "github.com/airlock-run/airlock/internal/sandbox"

// OfflineImage is the image that scripts/images.sh builds.
const OfflineImage = "airlock/sandbox-offline:dev"

// Offline is the runtime without a model, see internal/offline. It needs
// nothing but its image and has no way out.
func Offline(image string) Runtime {
	return Runtime{
		Name:     "offline",
		Image:    image,
		Program:  "/agent-offline",
		MaxTurns: 1,
		Limits:   sandbox.DefaultLimits,
	}
}
