import { useQuery } from '@tanstack/react-query'
import { api, unwrap } from '../api/client.ts'
import { queryKeys } from '../api/queryKeys.ts'

export const dimensions = ['day', 'agent', 'model', 'label'] as const
export type Dimension = (typeof dimensions)[number]

/** The usage of the last 30 days. */
export function useUsage(groupBy: Dimension) {
  return useQuery({
    queryKey: queryKeys.usage(groupBy),
    queryFn: () => unwrap(api.GET('/usage', { params: { query: { groupBy } } })),
  })
}
