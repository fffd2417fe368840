import { useMutation, useQueryClient } from '@tanstack/react-query'
import { api, unwrap } from '../api/client.ts'
import { cacheExecution } from './useExecution.ts'

export function useCancel(id: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: () => unwrap(api.POST('/executions/{id}/cancel', { params: { path: { id } } })),
    onSuccess: (execution) => cacheExecution(client, execution),
  })
}
