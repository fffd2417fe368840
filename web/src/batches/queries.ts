import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { api, idempotencyKey, unwrap } from '../api/client.ts'
import { keys } from '../api/keys.ts'
import type { Batch } from '../api/types.ts'

// How often a batch that has not ended is counted again.
const recountMs = 2_000

export function useBatches() {
  return useQuery({
    queryKey: keys.batches,
    queryFn: () => unwrap(api.GET('/batches', { params: { query: { limit: 100 } } })),
    select: (list) => list.batches,
  })
}

export function useBatch(id: string) {
  return useQuery({
    queryKey: keys.batch(id),
    queryFn: () => unwrap(api.GET('/batches/{id}', { params: { path: { id } } })),
    refetchInterval: ({ state }) => (state.data && state.data.status !== 'ended' ? recountMs : false),
  })
}

export function useCancelBatch(id: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: () => unwrap(api.POST('/batches/{id}/cancel', { params: { path: { id } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.batch(id) }),
  })
}

/** Runs what failed once more, as a batch of its own. */
export function useRetryBatch(id: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: () =>
      unwrap(
        api.POST('/batches/{id}/retry', {
          params: { path: { id } },
          headers: { 'Idempotency-Key': idempotencyKey() },
        }),
      ),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.batches }),
  })
}

/** The results of a batch so far, in JSON Lines. */
export function batchResults(id: string): Promise<Blob> {
  return unwrap(api.GET('/batches/{id}/results', { params: { path: { id } }, parseAs: 'blob' }))
}

export const batchLabel: Record<Batch['status'], string> = {
  running: 'Running',
  canceling: 'Cancelling',
  ended: 'Ended',
}
