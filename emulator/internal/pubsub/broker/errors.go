package broker

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The API's own status codes are the errors of this package: what a caller
// did wrong is part of what is emulated. Any other error is a fault of the
// store.

func errNotFound(name string) error {
	return status.Errorf(codes.NotFound, "Resource not found (resource=%s).", shortName(name))
}

func errExists(name string) error {
	return status.Errorf(codes.AlreadyExists, "Resource already exists in the project (resource=%s).", shortName(name))
}

func errDetached(name string) error {
	return status.Errorf(codes.FailedPrecondition, "The subscription is detached from its topic (resource=%s).", shortName(name))
}

func shortName(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }
