import { QueryClient } from '@tanstack/react-query'
import { isTransient } from './api/problem.ts'

// networkMode "always": the browser's online state says nothing about a server on the same machine.
export function newQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: { networkMode: 'always', retry: (failures, error) => failures < 2 && isTransient(error) },
      mutations: { networkMode: 'always', retry: false },
    },
  })
}
