# SPDX-License-Identifier: Apache-2.0
"""The control process: control socket, application sessions, path-manager policy, status, steering."""
