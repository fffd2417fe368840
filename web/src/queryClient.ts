import { QueryClient } from '@tanstack/react-query'
import { isTransient } from './api/problem.ts'

// Whether the browser thinks it is online says nothing about a server on this machine: always ask.
export function newQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: { networkMode: 'always', retry: (failures, error) => failures < 2 && isTransient(error) },
      mutations: { networkMode: 'always', retry: false },
    },
  })
}
