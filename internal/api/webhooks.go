package api

import (
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/webhook"
	"github.com/airlock-run/airlock/internal/netguard"
	"github.com/airlock-run/airlock/internal/store"
)

// checkWebhook refuses a URL that no courier would send to.
func (s *Server) checkWebhook(rawURL string) error {
	if rawURL == "" {
		return nil
	}
	if err := netguard.CheckURL(rawURL, s.config.WebhookGuard); err != nil {
		return invalidRequest(fieldError("webhook", err.Error()))
	}
	return nil
}

// ListDeliveries shows a page of the caller's deliveries.
func (s *Server) ListDeliveries(c echo.Context, params contract.ListDeliveriesParams) error {
	l, err := parsePageRequest(c, params.Limit, params.Cursor)
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	found, err := s.store.Deliveries(ctx, tenantID(c), l.storePage())
	if err != nil {
		return err
	}
	shown, next := trimPage(&l, found, func(d webhook.Delivery) cursorPosition { return positionOf(d.CreatedAt, d.ID) })
	return respondJSON(c, http.StatusOK, contract.DeliveryList{Deliveries: viewAll(shown, viewDelivery), NextCursor: next})
}

// GetDelivery shows how far a delivery is.
func (s *Server) GetDelivery(c echo.Context, deliveryID contract.ID) error {
	ref, err := deliveryRef(c, deliveryID)
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	d, err := s.store.Delivery(ctx, ref)
	if err != nil {
		return err
	}
	return respondJSON(c, http.StatusOK, viewDelivery(d))
}

// RetryDelivery makes a delivery that has ended due again.
func (s *Server) RetryDelivery(c echo.Context, deliveryID contract.ID) error {
	ref, err := deliveryRef(c, deliveryID)
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	d, _, err := s.store.UpdateDelivery(ctx, ref, (*webhook.Delivery).Redeliver)
	if errors.Is(err, webhook.ErrNotFinished) {
		return &problem{Status: http.StatusConflict, Code: contract.ProblemDeliveryNotFinished, Detail: "The delivery is still being tried. Its dueAt says when next."}
	}
	if err != nil {
		return err
	}
	return respondJSON(c, http.StatusAccepted, viewDelivery(d))
}

// GetWebhookSecret shows what the caller's receivers verify with.
func (s *Server) GetWebhookSecret(c echo.Context) error {
	ctx, cancel := storeContext(c)
	defer cancel()
	secrets, err := s.store.WebhookSecrets(ctx, tenantID(c))
	return respondWebhookSecret(c, secrets, err)
}

// RotateWebhookSecret replaces it.
func (s *Server) RotateWebhookSecret(c echo.Context) error {
	ctx, cancel := storeContext(c)
	defer cancel()
	secrets, err := s.store.RotateWebhookSecret(ctx, tenantID(c))
	return respondWebhookSecret(c, secrets, err)
}

func respondWebhookSecret(c echo.Context, secrets webhook.Secrets, err error) error {
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return respondJSON(c, http.StatusOK, contract.WebhookSecret{Secret: string(secrets.Current), RotatedAt: orZero(secrets.RotatedAt)})
}

func deliveryRef(c echo.Context, deliveryID string) (webhook.Ref, error) {
	if !id.Valid(id.Delivery, deliveryID) {
		return webhook.Ref{}, &store.NotFoundError{Resource: "delivery", ID: deliveryID}
	}
	return webhook.Ref{Tenant: tenantID(c), ID: deliveryID}, nil
}

func viewDelivery(d webhook.Delivery) contract.Delivery {
	self, subject := "/webhooks/deliveries/"+d.ID, "/executions/"+d.SubjectID
	if strings.HasPrefix(d.SubjectID, id.Batch) {
		subject = "/batches/" + d.SubjectID
	}
	return contract.Delivery{
		Id: d.ID, Type: contract.DeliveryType(d.Type), Subject: d.SubjectID, Url: d.URL, State: contract.DeliveryState(d.State),
		Attempt: d.Attempt, Status: d.LastResult.Status, Reason: contract.DeliveryReason(d.LastResult.Reason),
		DueAt: orZero(d.Due), CreatedAt: d.CreatedAt, FinishedAt: orZero(d.FinishedAt),
		Urls: contract.DeliveryURLs{Self: self, Subject: subject, Retry: self + "/retry"},
	}
}

// deliveryURL is where the delivery is that tells of a subject's end; empty
// while there is none.
func deliveryURL(webhookURL, subject string, finished bool) string {
	if webhookURL == "" || !finished {
		return ""
	}
	return "/webhooks/deliveries/" + webhook.DeliveryID(subject)
}
