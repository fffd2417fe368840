package broker

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A caller's mistakes are errors with the status codes of the API, because these codes are part of the emulated
// behaviour. An error without a status is a failure of the store.

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
