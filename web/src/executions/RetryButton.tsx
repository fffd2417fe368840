import { useMutation, useQueryClient } from '@tanstack/react-query'
import { api, idempotencyKey, unwrap } from '../api/client.ts'
import { queryKeys } from '../api/queryKeys.ts'
import { navigate } from '../route/route.ts'
import { Button } from '../ui/Button.tsx'

/** Retries a failed execution as a new execution. */
export function RetryButton({ executionId }: { executionId: string }) {
  const client = useQueryClient()
  const retry = useMutation({
    mutationFn: (key: string) =>
      unwrap(
        api.POST('/executions/{id}/retry', {
          params: { path: { id: executionId } },
          headers: { 'Idempotency-Key': key },
        }),
      ),
    onSuccess: (accepted) => {
      void client.invalidateQueries({ queryKey: queryKeys.executions })
      if (accepted.conversationId !== undefined) {
        void client.invalidateQueries({ queryKey: queryKeys.conversation(accepted.conversationId) })
      }
      navigate({ page: 'execution', id: accepted.executionId })
    },
  })
  return (
    <>
      <Button disabled={retry.isPending} onClick={() => retry.mutate(retry.variables ?? idempotencyKey())}>
        {retry.isPending ? 'Starting…' : 'Run again'}
      </Button>
      {retry.error && (
        <span role="alert" className="text-sm text-danger">
          {retry.error.message}
        </span>
      )}
    </>
  )
}
