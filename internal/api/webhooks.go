package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/webhook"
	"github.com/airlock-run/airlock/internal/store"
)

// DeliveryStore reads and changes webhook deliveries, and the secrets that sign them. Delivery and UpdateDelivery
// return a *store.NotFoundError for a missing one. Deliveries lists the newest first. UpdateDelivery calls change with
// the store's time, perhaps more than once, and returns the error of change. WebhookSecrets creates the first secret of
// a tenant.
type DeliveryStore interface {
	Delivery(ctx context.Context, ref webhook.Ref) (webhook.Delivery, error)
	Deliveries(ctx context.Context, tenant string, p store.Page) ([]webhook.Delivery, error)
	UpdateDelivery(ctx context.Context, ref webhook.Ref, change func(*webhook.Delivery, time.Time) error) (webhook.Delivery, time.Time, error)
	WebhookSecrets(ctx context.Context, tenant string) (webhook.Secrets, error)
	RotateWebhookSecret(ctx context.Context, tenant string) (webhook.Secrets, error)
}

// ListDeliveries returns a page of the tenant's deliveries.
func (s *Server) ListDeliveries(c echo.Context, params contract.ListDeliveriesParams) error {
	deliveries, next, err := readPage(c, pageParams{params.Limit, params.Cursor}, s.stores.Deliveries.Deliveries,
		func(d webhook.Delivery) cursorPosition { return timePosition(d.CreatedAt, d.ID) })
	if err != nil {
		return err
	}
	return respondJSON(c, http.StatusOK, contract.DeliveryList{Deliveries: viewAll(deliveries, viewDelivery), NextCursor: next})
}

// GetDelivery returns a delivery.
func (s *Server) GetDelivery(c echo.Context, deliveryID contract.ID) error {
	ref, err := deliveryRef(c, deliveryID)
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	d, err := s.stores.Deliveries.Delivery(ctx, ref)
	if err != nil {
		return err
	}
	return respondJSON(c, http.StatusOK, viewDelivery(d))
}

// RetryDelivery makes a finished delivery due again.
func (s *Server) RetryDelivery(c echo.Context, deliveryID contract.ID) error {
	ref, err := deliveryRef(c, deliveryID)
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	d, _, err := s.stores.Deliveries.UpdateDelivery(ctx, ref, (*webhook.Delivery).Retry)
	if err != nil {
		return err
	}
	return respondJSON(c, http.StatusAccepted, viewDelivery(d))
}

// GetWebhookSecret returns the secret with which a receiver verifies webhooks.
func (s *Server) GetWebhookSecret(c echo.Context) error {
	ctx, cancel := storeContext(c)
	defer cancel()
	secrets, err := s.stores.Deliveries.WebhookSecrets(ctx, tenantID(c))
	return respondWebhookSecret(c, secrets, err)
}

// RotateWebhookSecret replaces the secret.
func (s *Server) RotateWebhookSecret(c echo.Context) error {
	ctx, cancel := storeContext(c)
	defer cancel()
	secrets, err := s.stores.Deliveries.RotateWebhookSecret(ctx, tenantID(c))
	return respondWebhookSecret(c, secrets, err)
}

func respondWebhookSecret(c echo.Context, secrets webhook.Secrets, err error) error {
	if err != nil {
		return err
	}
	c.Response().Header().Set(headerCacheControl, "no-store")
	return respondJSON(c, http.StatusOK, contract.WebhookSecret{Secret: string(secrets.Current), RotatedAt: orZero(secrets.RotatedAt)})
}

func deliveryRef(c echo.Context, deliveryID string) (webhook.Ref, error) {
	return webhook.Ref{Tenant: tenantID(c), ID: deliveryID}, checkID(id.Delivery, deliveryID)
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

// deliveryURL returns the path of the delivery that reports the end of a subject; empty if there is none yet.
func deliveryURL(webhookURL, subject string, finished bool) string {
	if webhookURL == "" || !finished {
		return ""
	}
	return "/webhooks/deliveries/" + webhook.DeliveryID(subject)
}
