package api

import (
	"errors"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
)

// CancelConversation cancels every turn that has not ended. The last goes
// first: were it the other way round, each would let the next one begin.
func (s *Server) CancelConversation(c echo.Context, conversationID contract.ID) error {
	if !id.Valid(id.Conversation, conversationID) {
		return &store.NotFoundError{Resource: "conversation", ID: conversationID}
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	found, err := s.store.Conversation(ctx, tenantID(c), conversationID)
	if err != nil {
		return err
	}
	for _, executionID := range slices.Backward(found.Pending) {
		ch, err := s.store.Apply(ctx, execution.Ref{Tenant: found.Tenant, ID: executionID}, execution.CancelRequested{})
		if errors.Is(err, execution.ErrTerminal) {
			continue
		}
		if err != nil {
			return err
		}
		s.publish(c, ch)
	}
	if found, err = s.store.Conversation(ctx, tenantID(c), conversationID); err != nil {
		return err
	}
	return respondJSON(c, http.StatusAccepted, contract.CanceledConversation{
		Conversation: viewConversation(found), Pending: found.Pending,
	})
}
