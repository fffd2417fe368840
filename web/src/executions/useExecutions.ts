import { useQuery } from '@tanstack/react-query'
import { api, unwrap } from '../api/client.ts'
import { keys } from '../api/keys.ts'

/** How many of the newest executions are listed: the most that the server gives. */
export const listed = 100

export function useExecutions() {
  return useQuery({
    queryKey: keys.executions,
    queryFn: () => unwrap(api.GET('/executions', { params: { query: { limit: listed } } })),
    select: (list) => list.executions,
  })
}
