"""Scripted clients that play whole sessions against a running server and check every message.

They share no encoder and no decoder with the server, for they are to find its faults.
"""
